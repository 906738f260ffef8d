"""The maker's curves of the pump, measured with water at the nominal speed."""

import numpy as np
from scipy.interpolate import PchipInterpolator

NOMINAL_RPM = 2900.0
FLOWS = np.array([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
"""In m³/h."""
GREATEST_FLOW = 60.0

# Piecewise cubic between the points, and as monotone as they are (F. N. Fritsch, R. E. Carlson, SIAM Journal on
# Numerical Analysis 17 (1980) 238-246): no dent that the pump has not.
head = PchipInterpolator(FLOWS, [38.0, 37.4, 35.8, 33.0, 29.1, 24.1, 18.0])
"""In m."""
efficiency = PchipInterpolator(FLOWS, [0.0, 0.315, 0.54, 0.675, 0.72, 0.675, 0.54])
npsh_required = PchipInterpolator(FLOWS, [1.5, 1.605, 1.92, 2.445, 3.18, 4.125, 5.28])
"""In m."""
