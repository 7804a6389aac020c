"""Independent callers: real SIP clients that are not our code, and the means to judge what they heard."""
