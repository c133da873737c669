"""MMRazor imports on today's torch only after pckd_mm, whichever test comes first."""

import pckd_mm  # noqa: F401
