"""The hooks that come with perdure: each a small class, registered by ``system.hooks.add``."""
