"""What is known of a flight when it is due to leave New York: airport, weather, carrier, aircraft.

A flight is stamped with the minute it was scheduled to leave. How late it left is known when it
leaves; how late it landed, when it lands. Those moments are the sources' known times.
"""

from datetime import datetime

import skewless as sl

airport = sl.Entity("airport", origin=str, description="JFK, LaGuardia or Newark.")
carrier = sl.Entity("carrier", carrier=str, description="An airline, by its two-letter code.")
aircraft = sl.Entity("aircraft", tailnum=str, description="One aeroplane, by its tail number.")
route = sl.Entity("route", origin=str, dest=str, description="An airport and a destination.")

FLIGHT = {"flight_id": str, "origin": str, "dest": str, "carrier": str, "tailnum": str}

departures = sl.Source(
    "departures",
    schema=FLIGHT | {"dep_delay": sl.Column(int, "how late it left", unit="min")},
    event_time="scheduled_at",
    known_time="departed_at",
    row_id="flight_id",
    table=sl.Parquet("data/departures/"),
    stream=sl.Files("live/departures/"),
    closed="left",  # a flight that left early is known at its own minute: it is not its past
    future="1h",  # and is known before the time it is stamped with
    description="Flights that left; delays in minutes, negative when early.",
)
landings = sl.Source(
    "landings",
    schema=FLIGHT
    | {
        "arr_delay": sl.Column(int, "how late it landed", unit="min"),
        "air_time": sl.Column(int, "how long it flew", unit="min"),
    },
    event_time="scheduled_at",
    known_time="landed_at",
    row_id="flight_id",
    table=sl.Parquet("data/landings/"),
    stream=sl.Files("live/landings/"),
    description="Flights that arrived at the gate; delays in minutes, negative when early.",
)
weather = sl.Source(
    "weather",
    schema={
        "origin": str,
        "temp": sl.Column(float, "temperature", unit="°F"),
        "wind_speed": sl.Column(float, "wind", unit="mph"),
        "precip": sl.Column(float, "rain or melted snow", unit="in"),
        "pressure": sl.Column(float, "pressure at sea level", unit="mbar"),
        "visib": sl.Column(float, "how far one can see", unit="mi"),
    },
    event_time="hour_start",
    delay="1h",  # a report stamped 05:00 is of the hour that begins then
    table=sl.CSV("data/weather.csv"),
    description="Hourly reports of the weather at each airport.",
)
register = sl.Source(
    "register",
    schema={"tailnum": str, "built": int, "seats": int, "engines": int},
    event_time="registered_at",
    table=sl.Parquet("data/register.parquet"),
    description="The register of aircraft. It has no dates: all rows carry the first of 2013.",
)


@sl.feature_view(entity=airport, source=departures, owner="operations", freshness="6h")
class AirportTraffic:
    """How late flights leave an airport."""

    airport_flights = departures.count("1h", "3h")
    airport_delay = departures.dep_delay.mean("1h", "3h", "24h")
    airport_last_20 = departures.dep_delay.mean(last=20)
    airport_late = departures.where(departures.dep_delay > 15).count("3h") / departures.count("3h")


@sl.feature_view(entity=airport, source=weather, owner="operations", freshness="3h")
class AirportWeather:
    """The weather at an airport."""

    temp = weather.temp.latest(ttl="6h")
    visib = weather.visib.latest(ttl="6h")
    wind_speed = weather.wind_speed.latest(ttl="6h")
    wind_speed_max = weather.wind_speed.max("6h")
    precip = weather.precip.sum("3h", "12h")
    pressure_change = weather.pressure.latest() - weather.pressure.mean("12h")


@sl.feature_view(entity=carrier, source=landings, owner="operations")
class CarrierPunctuality:
    """How late a carrier's flights arrive."""

    carrier_arrival = landings.arr_delay.mean("6h", "24h", "7d")
    carrier_last_20 = landings.arr_delay.mean(last=20)
    carrier_spread = landings.arr_delay.std("7d")


@sl.feature_view(entity=carrier, source=departures, owner="operations")
class CarrierTraffic:
    """How late a carrier's flights leave."""

    carrier_departure = departures.dep_delay.mean("3h", "24h")


@sl.feature_view(entity=aircraft, source=landings, owner="fleet")
class AircraftHistory:
    """How an aircraft has been doing."""

    last_arrival = landings.arr_delay.latest(ttl="1d").describe(
        "How late it landed last, within a day.", unit="min"
    )
    last_5_arrivals = landings.arr_delay.mean(last=5).describe(
        "How late it landed the last five times, in the mean.", unit="min"
    )
    landings_24h = landings.count("24h").describe("How often it landed within a day.")
    hours_in_air = (landings.air_time.sum("7d") / 60).describe("In the air this week.", unit="h")


@sl.feature_view(entity=aircraft, source=register, owner="fleet")
class AircraftRegister:
    """What an aircraft is."""

    details = register.latest("built", "seats", "engines")


@sl.feature_view(entity=route, source=landings, owner="operations")
class RoutePunctuality:
    """How late flights of a route arrive."""

    route_delay = landings.arr_delay.mean("30d", resolution="1d")
    route_air_time = landings.air_time.median(last=20)


scheduled_at = sl.Request("scheduled_at", datetime)


@sl.on_demand
class Departure:
    """What is only known with the flight that is asked about."""

    hour = scheduled_at.hour()
    weekday = scheduled_at.weekday()
    age = scheduled_at.year() - AircraftRegister.built
    worse_than_today = AirportTraffic.airport_delay_1h - AirportTraffic.airport_delay_24h


delay_model = sl.FeatureService(
    "delay_model",
    [
        AirportTraffic, AirportWeather, CarrierPunctuality, CarrierTraffic, AircraftHistory,
        AircraftRegister.seats, AircraftRegister.engines, RoutePunctuality, Departure,
    ],
    description="Will the flight arrive more than 15 minutes late? Asked when it is due to leave.",
    owner="operations",
)  # fmt: skip
