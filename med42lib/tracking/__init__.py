"""MLflow: where it is, its client, and what a finished run becomes there.

Doors, the modules that other rooms may import:

    address     where MLflow is, and whether it can be used
    connection  MLflow, opened; imports mlflow
    live        the run of a stage that works
    names       runs' names and tags, and MLflow's limits
    replay      the stages of a finished run as MLflow's runs
    runs        experiments and runs; imports mlflow
    versions    registered models, their versions and aliases; imports mlflow
"""
