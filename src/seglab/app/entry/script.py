"""What Streamlit runs for each look at a page."""

from seglab.app.navigation import show

show()
