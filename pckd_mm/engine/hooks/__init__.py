from .preflight_hook import PreflightHook
from .reseed_hook import ReseedHook

__all__ = ["PreflightHook", "ReseedHook"]
