#include "experiment/lint.h"

#include <algorithm>
#include <cmath>

namespace ivory::experiment {
namespace {

// SwAV's own: ε = 0.05 at 128 features, where cosines of random directions have a standard deviation of 1 / √128.
constexpr double usual_epsilon = 0.566;  // in units of that deviation
constexpr double largest_epsilon = 2, smallest_epsilon = 0.05;
constexpr double bf16_error = 0.002;  // of a cosine of embeddings that were rounded to 8 bits
constexpr int64_t samples_per_cluster = 5;

// One objective and what its stage gives it.
struct Facts {
  const config::ObjectiveUse& use;
  const config::TrainSpec& train;
  int64_t samples;                       // 0: not known
  int64_t batch;                         // over all processes
  int64_t steps_per_epoch, total_steps;  // 0: not known
  int64_t width;                         // of the embeddings
};

template <class T>
T option(const Facts& facts, const std::string& name) {
  return facts.use.plugin.options.get<T>(name);
}

bool has(const Facts& facts, std::initializer_list<const char*> names) {
  const auto& values = facts.use.plugin.options.values();
  return std::all_of(names.begin(), names.end(), [&](const char* name) { return values.count(name) > 0; });
}

class Sentences {
 public:
  explicit Sentences(std::string objective) : prefix_("objective '" + std::move(objective) + "': ") {}
  template <class... Parts>
  void add(const Parts&... parts) {
    found.push_back(prefix_ + joined({MessagePart(parts)...}));
  }
  std::vector<std::string> found;

 private:
  std::string prefix_;
};

void check_queue(const Facts& facts, Sentences& sentences) {
  const auto queue = option<int64_t>(facts, "queue_length");
  if (queue == 0) return;
  if (facts.samples > 0 && queue > facts.samples) {
    sentences.add("queue_length = ", queue, " is longer than the data set of ", facts.samples,
                  " samples, so that the stage will refuse it; use at most ", facts.samples / facts.batch * facts.batch,
                  ", or 0 for no queue");
  } else if (queue % facts.batch != 0) {
    sentences.add("queue_length = ", queue, " is not a multiple of the batch of ", facts.batch,
                  ", so that the stage will refuse it; use ", std::max<int64_t>(1, queue / facts.batch) * facts.batch);
  }
  const int64_t steps_to_fill = option<int64_t>(facts, "queue_start") * facts.steps_per_epoch + queue / facts.batch;
  if (facts.total_steps > 0 && 2 * steps_to_fill >= facts.total_steps) {
    sentences.add("the queue of ", queue, " is used once full, after ", steps_to_fill, " of ", facts.total_steps,
                  " steps; use at most ", std::max<int64_t>(1, facts.total_steps / 10) * facts.batch,
                  ", or 0 for no queue");
  }
}

// The equal partition gives each prototype (rows of the codes) / H samples.
void check_prototypes(const Facts& facts, Sentences& sentences) {
  const auto prototypes = option<int64_t>(facts, "prototypes"), queue = option<int64_t>(facts, "queue_length");
  const int64_t coded = std::max<int64_t>(1, facts.batch / facts.train.accumulate), together = coded + queue;
  if (prototypes > together) {
    const int64_t wanted = (prototypes - coded + facts.batch - 1) / facts.batch * facts.batch;
    const bool fits = facts.samples == 0 || wanted <= facts.samples;
    sentences.add("prototypes = ", prototypes, ", but codes are made of ", together, " samples together (batch ",
                  facts.batch, facts.train.accumulate > 1 ? " in micro-batches of " + std::to_string(coded) : "",
                  ", queue ", queue,
                  "): the equal partition leaves less than one sample to each prototype, and the loss may stay at ln ",
                  prototypes, "; use at most ", std::max<int64_t>(2, together / 4), " prototypes",
                  fits ? ", or queue_length = " + std::to_string(wanted) : "");
  } else if (facts.samples > 0 && prototypes > facts.samples) {
    sentences.add("prototypes = ", prototypes, " are more than the ", facts.samples,
                  " samples of the data; use at most ", std::max<int64_t>(2, facts.samples / 10));
  }
}

void check_freezing(const Facts& facts, Sentences& sentences) {
  const auto declared = option<int64_t>(facts, "freeze_steps");
  const int64_t frozen = declared < 0 ? facts.steps_per_epoch : declared;
  if (facts.total_steps == 0 || 2 * frozen <= facts.total_steps) return;
  sentences.add("freeze_steps = ", declared, " keeps the prototypes fixed for ", std::min(frozen, facts.total_steps),
                " of ", facts.total_steps, " steps, so that they hardly learn; use at most ",
                std::max<int64_t>(1, facts.total_steps / 10));
}

double two_digits(double value) {
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 1);
  return std::round(value / unit) * unit;
}

void check_epsilon(const Facts& facts, Sentences& sentences) {
  const auto epsilon = option<double>(facts, "epsilon");
  const double spread = 1 / std::sqrt(static_cast<double>(facts.width)), usual = two_digits(usual_epsilon * spread);
  if (facts.train.precision == "bf16" && epsilon < 5 * bf16_error) {
    sentences.add("epsilon = ", epsilon, " is near the error of about ", bf16_error,
                  " that bf16 embeddings leave in the scores, so that codes follow rounding; use at least ",
                  std::max(usual, 10 * bf16_error), ", or precision = \"fp32\"");
  } else if (epsilon > largest_epsilon * spread) {
    sentences.add("epsilon = ", epsilon, " is large for the spread of the scores, about ", two_digits(spread), " at ",
                  facts.width, " features, so that all codes are nearly uniform; use about ", usual);
  } else if (epsilon < smallest_epsilon * spread) {
    sentences.add("epsilon = ", epsilon, " is small for the spread of the scores, about ", two_digits(spread), " at ",
                  facts.width, " features, so that codes are hard from the first step on; use about ", usual);
  }
}

void check_clusters(const Facts& facts, Sentences& sentences) {
  const auto clusters = option<std::vector<int64_t>>(facts, "clusters");
  const int64_t most = clusters.empty() ? 0 : *std::max_element(clusters.begin(), clusters.end());
  if (facts.samples == 0 || most * samples_per_cluster <= facts.samples) return;
  sentences.add("clusters = ", to_text(clusters), " of ", facts.samples, " samples ",
                most > facts.samples ? "cannot be made, so that the stage will refuse them"
                                     : "leave fewer than " + std::to_string(samples_per_cluster) + " to a cluster",
                "; use at most ", std::max<int64_t>(2, facts.samples / 10), " per head");
}

}  // namespace

std::vector<std::string> lint(const config::StageSpec& stage, const config::ModelSpec& model,
                              const std::function<int64_t(SampleKind)>& samples) {
  const auto batch_of = [&](SampleKind kind) {
    const bool own = kind == SampleKind::volume && stage.volume_batch_size > 0;
    return std::max<int64_t>(1, own ? stage.volume_batch_size : stage.train.batch_size);
  };
  int64_t steps_per_epoch = 0;
  for (const auto& use : stage.objectives) {
    const int64_t count = samples(use.kind);
    if (count > 0) steps_per_epoch = std::max({int64_t{1}, steps_per_epoch, count / batch_of(use.kind)});
  }
  const int64_t total = stage.train.steps > 0 ? stage.train.steps : stage.train.epochs * steps_per_epoch;
  std::vector<std::string> all;
  for (const auto& use : stage.objectives) {
    Facts facts{.use = use,
                .train = stage.train,
                .samples = samples(use.kind),
                .batch = batch_of(use.kind),
                .steps_per_epoch = steps_per_epoch,
                .total_steps = total,
                .width = model.token_width};
    if (has(facts, {"embedding_width"})) facts.width = option<int64_t>(facts, "embedding_width");
    Sentences sentences(use.plugin.name);
    const std::string codes = has(facts, {"codes"}) ? option<std::string>(facts, "codes") : "";
    if (codes != "deepcluster-v2" &&
        has(facts, {"prototypes", "queue_length", "queue_start", "freeze_steps", "epsilon"})) {
      check_prototypes(facts, sentences);
      check_queue(facts, sentences);
      check_freezing(facts, sentences);
      check_epsilon(facts, sentences);
    }
    if (codes != "swav" && has(facts, {"clusters"})) check_clusters(facts, sentences);
    all.insert(all.end(), sentences.found.begin(), sentences.found.end());
  }
  return all;
}

}  // namespace ivory::experiment
