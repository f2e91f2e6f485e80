"""The same as `seglab bench-near-duplicates`, under the name that it had before."""

from seglab.cli.main import former_script

if __name__ == "__main__":
    former_script("bench-near-duplicates")
