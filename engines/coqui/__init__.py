"""Coqui's voices on one device for many calls: VITS by sentences, XTTS token by token."""
