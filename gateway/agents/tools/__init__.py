"""What a model may do beside talking: orders to its call, and the operator's own HTTP tools."""
