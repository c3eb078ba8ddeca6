"""The command `miqa`: one file for each verb."""
