"""The connect page: what a customer sees who opens a link."""
