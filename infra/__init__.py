"""Where it all meets: settings, command line, roles, supervision, embedded servers, metrics and HTTP."""

VERSION = "0.1.0"
