"""How agents are talked to: references, messages as values, the turn that handles one."""
