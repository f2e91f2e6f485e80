"""From a run to a model that others may use: the gate, the register, the model card."""
