#include "run/lint.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "train/codes.h"
#include "train/stage_batch.h"

namespace ivory::experiment {
namespace {

// SwAV's own: ε = 0.05 at 128 features, where cosines of random directions have a standard deviation of 1 / √128.
constexpr double usual_epsilon = 0.566;  // in units of that deviation
constexpr double largest_epsilon = 2, smallest_epsilon = 0.05;
constexpr double bf16_error = 0.002;  // of a cosine of embeddings that were rounded to 8 bits
constexpr int64_t samples_per_cluster = 5, fewest_clusters = 2;

// One objective and what its stage gives it. A check that proposes a value goes on with it, so that all that is
// proposed together fits together.
struct Facts {
  const config::ObjectiveUse& use;
  const config::TrainSpec& train;
  int64_t samples;                       // 0: not known
  int64_t batch;                         // over all processes
  int64_t steps_per_epoch, total_steps;  // 0: not known
  int64_t width;                         // of the embeddings
  int64_t queue = 0, queue_start = 0;
};

template <class T>
T option(const Facts& facts, const std::string& name) {
  return facts.use.plugin.options.get<T>(name);
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

int64_t coded_together(const Facts& facts) {
  return std::max<int64_t>(1, facts.batch / facts.train.accumulate);
}

// Steps until a queue that is begun in epoch `start` is full; late: half of all, or more.
struct Filling {
  int64_t steps;
  bool late;
};
Filling filling(const Facts& facts, int64_t queue, int64_t start) {
  const int64_t steps = start * facts.steps_per_epoch + queue / facts.batch;
  return {steps, facts.total_steps > 0 && 2 * steps >= facts.total_steps};
}

// The largest part of the batch, halved again and again, that the data can fill.
int64_t fitting_batch(int64_t batch, int64_t accumulate, int64_t samples) {
  int64_t fitting = batch;
  while (fitting > samples) fitting /= 2;
  return std::max(accumulate, fitting / accumulate * accumulate);
}

void check_batch(const config::StageSpec& stage, const Facts& facts, Sentences& sentences) {
  const int64_t declared = train::batch_of(stage, facts.use.kind);
  if (facts.batch >= declared) return;
  const bool mixed = std::any_of(stage.objectives.begin(), stage.objectives.end(),
                                 [&](const auto& use) { return use.kind != facts.use.kind; });
  const bool own = facts.use.kind == SampleKind::volume && (mixed || stage.volume_batch_size > 0);
  sentences.add("a batch of ", declared, " is larger than the data set of ", facts.samples,
                " samples, which come again until it is full; set ", own ? "volume_batch_size" : "batch_size",
                " to at most ", facts.batch);
}

// Up to `wanted`, of whole batches, no longer than the data, and full before half of the steps when begun at once.
int64_t fitting_queue(const Facts& facts, int64_t wanted) {
  int64_t batches = std::max<int64_t>(1, wanted / facts.batch);
  if (facts.samples > 0) batches = std::min(batches, facts.samples / facts.batch);
  if (facts.total_steps > 0) batches = std::min(batches, (facts.total_steps - 1) / 2);
  return batches * facts.batch;
}

// "queue_length to at most 512, or to 0 for no queue": without one, where the batch alone is enough for the prototypes.
std::string to_a_queue_of(const Facts& facts, int64_t length, const char* at_most = "at most ") {
  if (length == 0) return "queue_length to 0 for no queue";
  const bool needed = option<int64_t>(facts, "prototypes") > coded_together(facts);
  return joined({"queue_length to ", at_most, length, needed ? "" : ", or to 0 for no queue"});
}

void check_queue(Facts& facts, Sentences& sentences) {
  if (facts.queue == 0) return;
  const int64_t declared = facts.queue;
  if (facts.samples > 0 && declared > facts.samples) {
    facts.queue = fitting_queue(facts, declared);
    sentences.add("queue_length = ", declared, " is longer than the data set of ", facts.samples,
                  " samples, so that the stage will refuse it; set ", to_a_queue_of(facts, facts.queue));
  } else if (declared % facts.batch != 0) {
    facts.queue = fitting_queue(facts, declared);
    sentences.add("queue_length = ", declared, " is not a multiple of the batch of ", facts.batch,
                  ", so that the stage will refuse it; set ", to_a_queue_of(facts, facts.queue, ""));
  }
  const Filling today = filling(facts, facts.queue, facts.queue_start);
  if (facts.queue == 0 || !today.late) return;
  std::string proposed;
  const int64_t queue = facts.queue;
  if (filling(facts, queue, 0).late) {
    facts.queue = fitting_queue(facts, std::min(queue, facts.total_steps / 10 * facts.batch));
    proposed = to_a_queue_of(facts, facts.queue);
  }
  if (facts.queue > 0 && filling(facts, facts.queue, facts.queue_start).late) {
    const int64_t before_half = ((facts.total_steps - 1) / 2 - facts.queue / facts.batch) / facts.steps_per_epoch;
    facts.queue_start = std::min(facts.total_steps / 10 / facts.steps_per_epoch, before_half);
    const std::string start = joined({"queue_start to at most ", facts.queue_start});
    proposed = proposed.empty() ? start : start + " and " + proposed;
  }
  sentences.add("the queue of ", queue, " is used once full, after ", today.steps, " of ", facts.total_steps,
                " steps; set ", proposed);
}

// As many as get four samples each; micro-batches of one sample are joined first.
std::string fewer_prototypes(const Facts& facts, int64_t together) {
  const auto at_most = [](int64_t coded) {
    return joined({"prototypes to at most ", std::max<int64_t>(2, coded / 4)});
  };
  if (together >= 2) return at_most(together);
  return facts.batch >= 2 ? "accumulate to 1 and " + at_most(facts.batch) : "batch_size to more than 1";
}

// The equal partition gives each prototype (rows of the codes) / H samples.
void check_prototypes(const Facts& facts, Sentences& sentences) {
  const auto prototypes = option<int64_t>(facts, "prototypes");
  const int64_t coded = coded_together(facts), together = coded + facts.queue;
  if (prototypes > together) {
    const int64_t wanted = (prototypes - coded + facts.batch - 1) / facts.batch * facts.batch;
    const bool fits = (facts.samples == 0 || std::max(wanted, prototypes) <= facts.samples) &&
                      !filling(facts, wanted, facts.queue_start).late;
    const std::string fewer = fewer_prototypes(facts, together);
    const std::string queue = joined({"queue_length to ", wanted});
    sentences.add("prototypes = ", prototypes, ", but codes are made of ", together, " samples together (batch ",
                  facts.batch, facts.train.accumulate > 1 ? " in micro-batches of " + std::to_string(coded) : "",
                  ", queue ", facts.queue,
                  "): the equal partition leaves less than one sample to each prototype, and the loss may stay at ln ",
                  prototypes, "; set ", fewer, fits ? ", or " + queue : "");
  } else if (facts.samples > 0 && prototypes > facts.samples) {
    sentences.add("prototypes = ", prototypes, " are more than the ", facts.samples,
                  " samples of the data; set prototypes to at most ", std::max<int64_t>(2, facts.samples / 10));
  }
}

void check_freezing(const Facts& facts, Sentences& sentences) {
  const auto declared = option<int64_t>(facts, "freeze_steps");
  const int64_t frozen = declared < 0 ? facts.steps_per_epoch : declared;
  if (facts.total_steps == 0 || 2 * frozen <= facts.total_steps) return;
  sentences.add("freeze_steps = ", declared, " keeps the prototypes fixed for ", std::min(frozen, facts.total_steps),
                " of ", facts.total_steps, " steps, so that they hardly learn; set freeze_steps to at most ",
                facts.total_steps < 2 ? 0 : std::max<int64_t>(1, facts.total_steps / 10));
}

double two_digits(double value) {
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 1);
  return std::round(value / unit) * unit;
}

void check_epsilon(const Facts& facts, Sentences& sentences) {
  const auto epsilon = option<double>(facts, "epsilon");
  const double spread = 1 / std::sqrt(static_cast<double>(facts.width));
  const double smallest = facts.train.precision == "bf16" ? 5 * bf16_error : 0;
  const double usual = std::max(two_digits(usual_epsilon * spread), smallest);
  if (epsilon < smallest) {
    sentences.add("epsilon = ", epsilon, " is near the error of about ", bf16_error,
                  " that bf16 embeddings leave in the scores, so that codes follow rounding; set epsilon to at least ",
                  usual, epsilon < smallest_epsilon * spread ? "" : ", or precision to \"fp32\"");
  } else if (epsilon > largest_epsilon * spread) {
    sentences.add("epsilon = ", epsilon, " is large for the spread of the scores, about ", two_digits(spread), " at ",
                  facts.width, " features, so that all codes are nearly uniform; set epsilon to about ", usual);
  } else if (epsilon < smallest_epsilon * spread) {
    sentences.add("epsilon = ", epsilon, " is small for the spread of the scores, about ", two_digits(spread), " at ",
                  facts.width, " features, so that codes are hard from the first step on; set epsilon to about ",
                  usual);
  }
}

void check_clusters(const Facts& facts, Sentences& sentences) {
  const auto clusters = option<std::vector<int64_t>>(facts, "clusters");
  const int64_t most = clusters.empty() ? 0 : *std::max_element(clusters.begin(), clusters.end());
  if (facts.samples == 0 || most <= std::max(fewest_clusters, facts.samples / samples_per_cluster)) return;
  sentences.add("clusters = ", to_text(clusters), " of ", facts.samples, " samples ",
                most > facts.samples ? "cannot be made, so that the stage will refuse them"
                                     : "leave fewer than " + std::to_string(samples_per_cluster) + " to a cluster",
                "; set clusters to at most ", std::max(fewest_clusters, facts.samples / 10), " per head");
}

}  // namespace

std::vector<std::string> lint(const config::StageSpec& stage, const config::ModelSpec& model,
                              const std::function<int64_t(SampleKind)>& samples) {
  std::map<SampleKind, int64_t> batches;  // as declared; of objectives that cluster, as they fit the data
  for (const auto& use : stage.objectives) {
    const int64_t count = samples(use.kind);
    int64_t& batch =
        batches.try_emplace(use.kind, std::max<int64_t>(1, train::batch_of(stage, use.kind))).first->second;
    const bool clusters = train::codes_of(use.plugin.options) != train::Codes::other;
    if (clusters && count > 0 && batch > count) batch = fitting_batch(batch, stage.train.accumulate, count);
  }
  int64_t steps_per_epoch = 0;
  for (const auto& [kind, batch] : batches) {
    const int64_t count = samples(kind);
    if (count > 0) steps_per_epoch = std::max({int64_t{1}, steps_per_epoch, count / batch});
  }
  const int64_t total = stage.train.steps > 0 ? stage.train.steps : stage.train.epochs * steps_per_epoch;
  std::vector<std::string> all;
  for (const auto& use : stage.objectives) {
    const config::PluginUse& plugin = use.plugin;
    const train::Codes codes = train::codes_of(plugin.options);
    Facts facts{.use = use,
                .train = stage.train,
                .samples = samples(use.kind),
                .batch = batches[use.kind],
                .steps_per_epoch = steps_per_epoch,
                .total_steps = total,
                .width = model.token_width};
    if (plugin.options.values().contains("embedding_width")) facts.width = option<int64_t>(facts, "embedding_width");
    Sentences sentences(plugin.name);
    if (codes != train::Codes::other) check_batch(stage, facts, sentences);
    if (codes == train::Codes::sinkhorn) {
      facts.queue = option<int64_t>(facts, "queue_length");
      facts.queue_start = option<int64_t>(facts, "queue_start");
      check_queue(facts, sentences);
      check_prototypes(facts, sentences);
      check_freezing(facts, sentences);
      check_epsilon(facts, sentences);
    }
    if (codes == train::Codes::k_means) check_clusters(facts, sentences);
    all.insert(all.end(), sentences.found.begin(), sentences.found.end());
  }
  return all;
}

}  // namespace ivory::experiment
