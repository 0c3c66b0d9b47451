"""The training task: model, graph and losses together."""
