"""What Offhook's speed, memory and steadiness are measured with; see README.md."""
