from .pckd_distiller import PCKDDistiller

__all__ = ["PCKDDistiller"]
