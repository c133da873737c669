from .attention_transfer_loss import AttentionTransferLoss, attention_transfer
from .category_alignment_loss import CategoryAlignmentLoss, category_alignment
from .category_contrastive_loss import CategoryContrastiveLoss, category_contrast
from .center_contrastive_loss import CenterContrastiveLoss, center_contrast
from .contrastive_representation_loss import ContrastiveRepresentationLoss
from .decoupled_kd_loss import DecoupledKDLoss
from .dist_relation_loss import DISTRelationLoss
from .feature_alignment_loss import FeatureAlignmentLoss, feature_alignment
from .hint_loss import HintLoss
from .preview_kl_divergence import PreviewKLDivergence, preview_kl_divergence
from .relational_kd_loss import AngleRKDLoss, DistanceRKDLoss

__all__ = [
    "AngleRKDLoss",
    "AttentionTransferLoss",
    "CategoryAlignmentLoss",
    "CategoryContrastiveLoss",
    "CenterContrastiveLoss",
    "ContrastiveRepresentationLoss",
    "DISTRelationLoss",
    "DecoupledKDLoss",
    "DistanceRKDLoss",
    "FeatureAlignmentLoss",
    "HintLoss",
    "PreviewKLDivergence",
    "attention_transfer",
    "category_alignment",
    "category_contrast",
    "center_contrast",
    "feature_alignment",
    "preview_kl_divergence",
]
