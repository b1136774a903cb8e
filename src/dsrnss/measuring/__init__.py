"""What an experiment costs on this machine, stage by stage, and what can be counted without one."""
