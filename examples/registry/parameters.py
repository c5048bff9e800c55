"""What is tested: 20 families of circuits by 50 parameters, ten quantities in five states."""

FAMILIES = {
    "leakage": "static current of the core", "drive": "drive strength of transistors",
    "timing": "speed paths of the core", "scan": "scan chains", "sram": "static memory",
    "flash": "flash memory", "pll": "clock generators", "adc": "analog to digital converters",
    "dac": "digital to analog converters", "io": "pads and pins", "esd": "protection of pads",
    "serdes": "serial links", "bandgap": "voltage reference", "regulator": "voltage regulators",
    "sensor": "temperature sensors", "rf": "radio front end", "usb": "USB port",
    "ddr": "memory interface", "fuse": "one-time fuses", "ring": "ring oscillators",
}  # fmt: skip
"""Name to description."""
QUANTITIES = {
    "vmin": ("least supply voltage", "V"), "vmax": ("greatest supply voltage", "V"),
    "idd": ("supply current", "mA"), "iddq": ("quiescent supply current", "uA"),
    "fmax": ("greatest frequency", "MHz"), "delay": ("propagation delay", "ps"),
    "jitter": ("cycle jitter", "ps"), "offset": ("input offset", "mV"),
    "gain": ("gain", "dB"), "noise": ("noise", "uV"),
}  # fmt: skip
"""Name to what it says and the unit."""
STATES = {
    "m40c": "at -40 degrees", "25c": "at 25 degrees", "85c": "at 85 degrees",
    "125c": "at 125 degrees", "aged": "after burn-in",
}  # fmt: skip
PARAMETERS = [f"{quantity}_{state}" for quantity in QUANTITIES for state in STATES]
