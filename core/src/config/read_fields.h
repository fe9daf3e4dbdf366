#pragma once
// Reads the keys of a table: each by its type and range, every mistake noted at its place.

#include <map>
#include <set>
#include <string>

#include "config/fields.h"
#include "config/sections.h"

namespace ivory::config {

class Reader : public Fields {
 public:
  // `scope`: where plugins are known; may be null.
  explicit Reader(Section& section, Scope* scope = nullptr) : section_(section), scope_(scope) {}

  // Reads this key in another way, at its place among the others.
  Reader& instead(const std::string& key, std::function<void()> read);
  // All keys of the table; every other one is a mistake.
  template <class Spec, class... Context>
  void read(Spec& spec, const Context&... context) {
    keys(*this, spec, context...);
    section_.finish();
  }

  void plugin(const char* key, PluginUse& use, plugin::Kind kind, Field field) override;
  void objectives(const char* key, std::vector<ObjectiveUse>&, Field field) override { custom(key, field); }
  void model(const char* key, std::optional<ModelSpec>&, Field field) override { custom(key, field); }
  void weighted(const char* key, std::vector<std::string>&, std::vector<double>&, Field field) override {
    custom(key, field);
  }
  void one_or_more(const char* key, std::vector<std::string>& names, Field field) override;
  bool has(const char* key, bool) const override { return section_.has(key); }
  bool lists(std::initializer_list<const char*> names, bool) const override;
  void expect(bool holds, const char* key, const std::string& what) override;

 protected:
  void value(const Field& field, Value value) override;
  void enter(const Field& field, const Visit& inside, const Visit& usual) override;
  void enter_group(const Field&, const Visit& inside, const Visit&) override { inside(*this); }
  void each(const Field& field, size_t count, const std::function<void(size_t)>& resize,
            const std::function<void(Fields&, size_t)>& inside, const Visit& usual) override;

 private:
  // Whether the key is there to be read here; notes that it is missing, or has no meaning.
  bool wanted(const Field& field);
  // Runs what was given for the key, and returns whether there was something.
  bool replaced(const Field& field);
  void custom(const char* key, Field& field);
  std::string spelled(const Field& field);
  void expect_once(const Field& field, const std::string& key, const std::vector<std::string>& values);

  // Each returns whether the key's value was well.
  template <class T>
  bool read_value(const Field& field, const std::string& key, T& target);
  bool read_text(const Field& field, const std::string& key, std::string& target);
  bool read_pair(const Field& field, const std::string& key, std::array<double, 2>& target);
  template <class T>
  bool read_axes(const Field& field, const std::string& key, std::array<T, 3>& target);

  Section& section_;
  Scope* scope_;
  std::map<std::string, std::function<void()>> instead_;
  std::set<std::string> wrong_;  // keys whose values are mistakes already
};

}  // namespace ivory::config
