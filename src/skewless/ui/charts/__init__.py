"""Pictures as SVG without scripts or styles: classes of the style sheet colour them."""
