"""Documents on a server of MongoDB's protocol: nx-27017 (the embedded default), MongoDB and others."""
