"""Adding to the suite: new plug-ins from templates, and the contract that each must keep."""
