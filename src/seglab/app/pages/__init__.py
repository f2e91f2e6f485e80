"""The pages. Each is a module with a function `show(client)`; `seglab.app.navigation` lists them."""
