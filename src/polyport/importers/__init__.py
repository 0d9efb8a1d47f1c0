"""From a service's own description of its API to a partner's folder."""
