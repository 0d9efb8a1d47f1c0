"""The settings of an account as pages: a page is a module here, and an entry of its navigation in ``templates/settings.html``."""
