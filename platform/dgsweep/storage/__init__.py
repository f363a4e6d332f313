"""Where files lie: folders of this machine, disks that nodes share, and object stores. Knows nothing of sweeps."""
