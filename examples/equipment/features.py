"""How a machine does: power against wind, time in which it stands, what is unusual of it."""

import skewless as sl

machine = sl.Entity("machine", machine_id=str)

readings = sl.Source(
    "readings",
    schema={
        "machine_id": str,
        "power": sl.Column(float, "active power", unit="kW"),
        "wind": sl.Column(float, "wind speed", unit="m/s"),
        "pitch": sl.Column(float, "angle of the blades", unit="deg"),
        "vane": sl.Column(float, "vane against nacelle", unit="deg"),
        "outdoor": sl.Column(float, "outdoor temperature", unit="C"),
    },
    event_time="measured_at",
    delay="3m",  # a reading is known three minutes after its interval
    row_id=("machine_id", "measured_at"),
    table=sl.Parquet("data/readings/"),
)
sound = readings.where(readings.outdoor > -100)  # a broken sensor says -273
windy = readings.wind > 4


@sl.feature_view(entity=machine, source=readings, owner="equipment", freshness="30m")
class Health:
    """What a machine delivers, and what is unusual of it."""

    power = readings.power.latest()
    power_mean = readings.power.mean("1h", "6h", "24h")
    power_std = readings.power.std("1h", "6h")
    power_trend = readings.power.slope(last=6)
    unusual = readings.power.zscore("24h")
    of_wind = readings.power.corr(readings.wind, "24h")
    kw_per_ms = readings.power.beta(readings.wind, "24h")
    pitch_mean = readings.pitch.mean("1h", "24h")
    pitch_max = readings.pitch.max("6h")
    vane_std = readings.vane.std("6h")
    stood = (windy & (readings.power < 1)).time_in(True, "24h")
    stops = (windy & (readings.power < 1)).changes("7d")
    broken = readings.where(readings.outdoor <= -100).count("24h")


@sl.feature_view(entity=machine, source=readings, owner="equipment")
class Weather:
    """What it stands in."""

    wind = readings.wind.latest()
    wind_mean = readings.wind.mean("1h", "6h")
    wind_std = readings.wind.std("1h", "6h")
    outdoor = sound.outdoor.mean("6h")
    outdoor_min = sound.outdoor.min("24h")


health_model = sl.FeatureService(
    "health_model",
    [Health, Weather],
    description="Will the power of the machine halve within the hour?",
    owner="equipment",
)
