"""Signatures, against the example that AWS publishes."""

from __future__ import annotations

import calendar

from engines.models.s3 import S3Key, signed


def test_the_published_example_is_signed_as_published() -> None:
    """Amazon S3 API Reference, "Signature calculations for the authorization header", GET Object."""
    key = S3Key("AKIAIOSFODNN7EXAMPLE", "us-east-1", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    at = calendar.timegm((2013, 5, 24, 0, 0, 0))
    headers = signed(
        "https://examplebucket.s3.amazonaws.com/test.txt", {"range": "bytes=0-9"}, key, float(at)
    )
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
    assert "wJal" not in repr(key) and "wJal" not in str(headers)
