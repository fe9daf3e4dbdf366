// SwAV (Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020) on
// slices and images, and on volumes (Nguyen et al., AAAI 2023, Eq. 1–5 and 11–12).
//   z = unit(head(f(view)));  Q = Sinkhorn(C z / ε) of the assignment views
//   loss = mean over assignment views a and other views v of −Σ Q_a log softmax(C z_v / τ)
// f is the model's pooled feature. On volumes with the model "image-volume" z is the holistic feature Z, without a
// head: the paper's 3D agreement; with a 3D network it is 3D-SwAV.
#include <ivory/nn/clustering_objective.h>
#include <ivory/plugin.h>

namespace nn = ivory::nn;

IVORY_PLUGIN(registrar) {
  auto swav = nn::clustering_descriptor<nn::SwappedPrediction>("swav");
  swav.summary = "Clustering agreement between views of a slice or a volume by swapped prediction.";
  swav.source = "Caron et al., NeurIPS 2020; Nguyen et al., AAAI 2023, Eq. 1-5, 11-12";
  swav.options = nn::swapped_prediction_options();
  for (auto& option : nn::cluster_embedding_options(
           "Number of views that are coded, the first ones; the other views predict their codes.")) {
    swav.options.push_back(std::move(option));
  }
  registrar.add(std::move(swav));
}
