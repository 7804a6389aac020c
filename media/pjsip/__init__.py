"""The native half of a SIP leg: PJSIP, its pjsua2 binding and the frame bus. See README.md."""
