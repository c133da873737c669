from .category_alignment_loss import CategoryAlignmentLoss, category_alignment
from .category_contrastive_loss import CategoryContrastiveLoss, category_contrast
from .feature_alignment_loss import FeatureAlignmentLoss, feature_alignment
from .preview_kl_divergence import PreviewKLDivergence, preview_kl_divergence

__all__ = [
    "CategoryAlignmentLoss",
    "CategoryContrastiveLoss",
    "FeatureAlignmentLoss",
    "PreviewKLDivergence",
    "category_alignment",
    "category_contrast",
    "feature_alignment",
    "preview_kl_divergence",
]
