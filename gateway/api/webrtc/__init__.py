"""Calls from web pages: signalling over HTTP (RFC 9725), call tokens, and what a page is told meanwhile."""
