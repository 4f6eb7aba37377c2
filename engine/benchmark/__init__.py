"""What a step costs on this machine: the conventional loop, zotui, the bare forward pass, the public API."""
