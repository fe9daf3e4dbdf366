// DeepCluster-v2 (Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS
// 2020, appendix) on slices and images, and on volumes (Nguyen et al., AAAI 2023).
//   z = unit(head(f(view)));  before each epoch: spherical k-means of the last epoch's z → centroids C_h, targets
//   loss = mean over heads h and views v of cross-entropy(C_h z_v / τ, the sample's cluster in head h)
// Head h clusters the bank of view h mod assignment_crops. The centroids are not trained. On volumes with the model
// "image-volume" z is the holistic feature Z, without a projection head.
#include <ivory/nn/clustering_objective.h>
#include <ivory/plugin.h>

namespace nn = ivory::nn;

IVORY_PLUGIN(registrar) {
  auto deep_cluster = nn::clustering_descriptor<nn::DeepCluster>("deepcluster-v2");
  deep_cluster.summary = "Classification of views of a slice or a volume into the clusters of last epoch's embeddings.";
  deep_cluster.source = "Caron et al., NeurIPS 2020; Nguyen et al., AAAI 2023";
  deep_cluster.options = nn::deep_cluster_options({3000, 3000, 3000});
  for (auto& option : nn::cluster_embedding_options(
           "Number of views that are banked and clustered in turn, the first ones; every view is classified.")) {
    deep_cluster.options.push_back(std::move(option));
  }
  deep_cluster.options.push_back(
      {.name = "temperature", .fallback = 0.1, .help = "Softmax temperature τ.", .minimum = 1e-3});
  registrar.add(std::move(deep_cluster));
}
