from seglab import datasets as datasets
from seglab.api import Run as Run
from seglab.api import compare as compare
from seglab.api import evaluate as evaluate
from seglab.api import load as load
from seglab.api import open_run as open_run
from seglab.api import train as train
from seglab.errors import SeglabError as SeglabError

__version__: str
