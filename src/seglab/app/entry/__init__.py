"""Where Streamlit begins. In a folder of its own: of a folder `pages` beside it Streamlit would make pages itself."""
