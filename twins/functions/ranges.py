"""Numbers in configurations: so large that no plant needs more, so small that products and sums of them stay finite."""

from typing import Annotated

from pydantic import Field

LARGEST = 1e100
"""Values, settings and intervals in seconds up to this size give finite results in every step that says so."""

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]

LONGEST_S = 1e9
"""Durations up to this many seconds, some thirty years, are counted in nanoseconds."""

Duration = Annotated[float, Field(ge=0, le=LONGEST_S)]
