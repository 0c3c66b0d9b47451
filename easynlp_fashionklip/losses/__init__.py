"""Losses: image-text contrastive (ITC), concept-visual alignment (CVA) and the balance between them."""

from easynlp_fashionklip.losses.balance import balance_weight, total_loss
from easynlp_fashionklip.losses.concept_batch import ConceptBatch
from easynlp_fashionklip.losses.cva import ConceptVisualAlignmentLoss
from easynlp_fashionklip.losses.itc import ImageTextContrastiveLoss

__all__ = ["ConceptBatch", "ConceptVisualAlignmentLoss", "ImageTextContrastiveLoss", "balance_weight", "total_loss"]
