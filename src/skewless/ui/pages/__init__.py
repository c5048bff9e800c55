"""The pages, a module each: from the site and what a request says to a `skewless.ui.page.Page`."""
