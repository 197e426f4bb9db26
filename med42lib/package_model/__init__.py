"""Stage `package_model`: makes the chosen model one folder that MLflow loads.

Doors, the modules that other rooms may import:

    config  its settings
"""
