#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/swapped_prediction.h>

#include <algorithm>
#include <cmath>

// What settings of clustering objectives are likely mistakes, and what helps a loss that stays at chance.
namespace ivory::nn {
namespace {

// SwAV's own: ε = 0.05 at 128 features, where cosines of random directions have a standard deviation of 1 / √128.
constexpr double usual_epsilon = 0.566;  // in units of that deviation
constexpr double largest_epsilon = 2, smallest_epsilon = 0.05;
constexpr double bf16_error = 0.002;  // of a cosine of embeddings that were rounded to 8 bits
constexpr int64_t samples_per_cluster = 5, fewest_clusters = 2;

// What a stage gives the objective. A check that proposes a value continues with it, so that all proposals together
// fit.
struct Facts {
  const Options& options;
  const StageFacts& stage;
  int64_t width = 0;  // of the embeddings
  int64_t queue = 0, queue_start = 0;
};

template <class T>
T option(const Facts& facts, const std::string& name) {
  return facts.options.get<T>(name);
}

class Sentences {
 public:
  template <class... Parts>
  void add(const Parts&... parts) {
    found.push_back(joined({MessagePart(parts)...}));
  }
  std::vector<std::string> found;
};

int64_t coded_together(const Facts& facts) {
  return std::max<int64_t>(1, facts.stage.batch / facts.stage.accumulate);
}

// Steps until a queue that is begun in epoch `start` is full; late: half of all, or more.
struct Filling {
  int64_t steps;
  bool late;
};
Filling filling(const Facts& facts, int64_t queue, int64_t start) {
  const int64_t steps = start * facts.stage.steps_per_epoch + queue / facts.stage.batch;
  return {steps, facts.stage.total_steps > 0 && 2 * steps >= facts.stage.total_steps};
}

void check_batch(const StageFacts& stage, Sentences& sentences) {
  if (stage.batch >= stage.declared_batch) return;
  sentences.add("a batch of ", stage.declared_batch, " is larger than the data set of ", stage.samples,
                " samples, which repeat until it is full; set ", stage.batch_key, " to at most ", stage.batch);
}

// Up to `wanted`, of whole batches, no longer than the data, and full before half of the steps when begun at once.
int64_t fitting_queue(const Facts& facts, int64_t wanted) {
  int64_t batches = std::max<int64_t>(1, wanted / facts.stage.batch);
  if (facts.stage.samples > 0) batches = std::min(batches, facts.stage.samples / facts.stage.batch);
  if (facts.stage.total_steps > 0) batches = std::min(batches, (facts.stage.total_steps - 1) / 2);
  return batches * facts.stage.batch;
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
  if (facts.stage.samples > 0 && declared > facts.stage.samples) {
    facts.queue = fitting_queue(facts, declared);
    sentences.add("queue_length = ", declared, " is longer than the data set of ", facts.stage.samples,
                  " samples, so that the stage will refuse it; set ", to_a_queue_of(facts, facts.queue));
  } else if (declared % facts.stage.batch != 0) {
    facts.queue = fitting_queue(facts, declared);
    sentences.add("queue_length = ", declared, " is not a multiple of the batch of ", facts.stage.batch,
                  ", so that the stage will refuse it; set ", to_a_queue_of(facts, facts.queue, ""));
  }
  const Filling today = filling(facts, facts.queue, facts.queue_start);
  if (facts.queue == 0 || !today.late) return;
  std::string proposed;
  const int64_t queue = facts.queue;
  if (filling(facts, queue, 0).late) {
    facts.queue = fitting_queue(facts, std::min(queue, facts.stage.total_steps / 10 * facts.stage.batch));
    proposed = to_a_queue_of(facts, facts.queue);
  }
  if (facts.queue > 0 && filling(facts, facts.queue, facts.queue_start).late) {
    const int64_t before_half =
        ((facts.stage.total_steps - 1) / 2 - facts.queue / facts.stage.batch) / facts.stage.steps_per_epoch;
    facts.queue_start = std::min(facts.stage.total_steps / 10 / facts.stage.steps_per_epoch, before_half);
    const std::string start = joined({"queue_start to at most ", facts.queue_start});
    proposed = proposed.empty() ? start : start + " and " + proposed;
  }
  sentences.add("the queue of ", queue, " is used once full, after ", today.steps, " of ", facts.stage.total_steps,
                " steps; set ", proposed);
}

// As many as get four samples each; micro-batches of one sample are joined first.
std::string fewer_prototypes(const Facts& facts, int64_t together) {
  const auto at_most = [](int64_t coded) {
    return joined({"prototypes to at most ", std::max<int64_t>(2, coded / 4)});
  };
  if (together >= 2) return at_most(together);
  return facts.stage.batch >= 2 ? "accumulate to 1 and " + at_most(facts.stage.batch) : "batch_size to more than 1";
}

// The equal partition gives each prototype (rows of the codes) / H samples.
void check_prototypes(const Facts& facts, Sentences& sentences) {
  const auto prototypes = option<int64_t>(facts, "prototypes");
  const int64_t coded = coded_together(facts), together = coded + facts.queue;
  if (prototypes > together) {
    const int64_t wanted = (prototypes - coded + facts.stage.batch - 1) / facts.stage.batch * facts.stage.batch;
    const bool fits = (facts.stage.samples == 0 || std::max(wanted, prototypes) <= facts.stage.samples) &&
                      !filling(facts, wanted, facts.queue_start).late;
    const std::string fewer = fewer_prototypes(facts, together);
    const std::string queue = joined({"queue_length to ", wanted});
    sentences.add("prototypes = ", prototypes, ", but codes are made of ", together, " samples together (batch ",
                  facts.stage.batch, facts.stage.accumulate > 1 ? " in micro-batches of " + std::to_string(coded) : "",
                  ", queue ", facts.queue,
                  "): the equal partition leaves less than one sample to each prototype, and the loss may stay at ln ",
                  prototypes, "; set ", fewer, fits ? ", or " + queue : "");
  } else if (facts.stage.samples > 0 && prototypes > facts.stage.samples) {
    sentences.add("prototypes = ", prototypes, " are more than the ", facts.stage.samples,
                  " samples of the data; set prototypes to at most ", std::max<int64_t>(2, facts.stage.samples / 10));
  }
}

void check_freezing(const Facts& facts, Sentences& sentences) {
  const auto declared = option<int64_t>(facts, "freeze_steps");
  const int64_t frozen = declared < 0 ? facts.stage.steps_per_epoch : declared;
  if (facts.stage.total_steps == 0 || 2 * frozen <= facts.stage.total_steps) return;
  sentences.add("freeze_steps = ", declared, " keeps the prototypes fixed for ",
                std::min(frozen, facts.stage.total_steps), " of ", facts.stage.total_steps,
                " steps, so that they hardly learn; set freeze_steps to at most ",
                facts.stage.total_steps < 2 ? 0 : std::max<int64_t>(1, facts.stage.total_steps / 10));
}

double two_digits(double value) {
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 1);
  return std::round(value / unit) * unit;
}

void check_epsilon(const Facts& facts, Sentences& sentences) {
  if (facts.width == 0) return;  // not known
  const auto epsilon = option<double>(facts, "epsilon");
  const double spread = 1 / std::sqrt(static_cast<double>(facts.width));
  const double smallest = facts.stage.precision == "bf16" ? 5 * bf16_error : 0;
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
  if (facts.stage.samples == 0 || most <= std::max(fewest_clusters, facts.stage.samples / samples_per_cluster)) return;
  sentences.add("clusters = ", to_text(clusters), " of ", facts.stage.samples, " samples ",
                most > facts.stage.samples
                    ? "cannot be made, so that the stage will refuse them"
                    : "leave fewer than " + std::to_string(samples_per_cluster) + " to a cluster",
                "; set clusters to at most ", std::max(fewest_clusters, facts.stage.samples / 10), " per head");
}

constexpr double overlapping_crops = 0.75;  // docs/results.md: better than 0.4 on both sets
constexpr double little_weight_decay = 1e-6 * (1 + 1e-9);

std::vector<std::string> common_remedies(const StageFacts& facts, const char* first) {
  std::vector<std::string> ways = {first};
  if (facts.on == SampleKind::volume) ways.emplace_back("views of a volume that differ less");
  if (facts.on == SampleKind::slice && facts.least_crop < overlapping_crops) {
    ways.push_back(joined({"views that overlap (crops of at least ", overlapping_crops, " of the slice)"}));
  }
  if (facts.weight_decay > little_weight_decay) ways.emplace_back("less weight decay (1e-6)");
  if (!facts.larc) ways.emplace_back("LARC (larc = true)");
  return ways;
}

constexpr const char* higher_rate = "a higher learning rate after a short warm-up";

}  // namespace

std::vector<std::string> swapped_prediction_advice(const Options& options, const StageFacts& stage, int64_t width) {
  Facts facts{.options = options,
              .stage = stage,
              .width = width,
              .queue = options.get<int64_t>("queue_length"),
              .queue_start = options.get<int64_t>("queue_start")};
  Sentences sentences;
  check_batch(stage, sentences);
  check_queue(facts, sentences);
  check_prototypes(facts, sentences);
  check_freezing(facts, sentences);
  check_epsilon(facts, sentences);
  return sentences.found;
}

std::vector<std::string> swapped_prediction_remedies(const StageFacts& facts) {
  auto ways = common_remedies(facts, "fewer prototypes for this batch size");
  ways.emplace_back("a smaller epsilon");
  ways.emplace_back("prototypes that stay frozen for longer (freeze_steps)");
  ways.emplace_back("a queue that lets more samples share the codes (queue_length)");
  ways.emplace_back(higher_rate);
  return ways;
}

std::vector<std::string> deep_cluster_advice(const Options& options, const StageFacts& stage) {
  Sentences sentences;
  check_batch(stage, sentences);
  check_clusters({.options = options, .stage = stage}, sentences);
  return sentences.found;
}

std::vector<std::string> deep_cluster_remedies(const StageFacts& facts) {
  auto ways = common_remedies(facts, "fewer clusters");
  ways.emplace_back(higher_rate);
  return ways;
}

}  // namespace ivory::nn
