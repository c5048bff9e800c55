"""What a user likes, what an item is liked for, and how they go together."""

import skewless as sl

user = sl.Entity("user", user_id=sl.Column(str, "the user", pii="quasi"))
item = sl.Entity("item", item_id=str)

items = sl.Source(
    "items",
    schema={
        "item_id": str,
        "category": str,
        "embedding": sl.Column(sl.Vector(8), "of its description"),
        "price": sl.Column(float, "price", unit="EUR"),
    },
    event_time="listed_at",
    table=sl.Parquet("data/items/"),
)
shown = sl.Source(
    "shown",
    schema={
        "user_id": str,
        "item_id": str,
        "category": sl.Column(str, "of the item"),
        "embedding": sl.Column(sl.Vector(8), "of the item"),
        "clicked": bool,
    },
    event_time="shown_at",
    known_time="logged_at",  # browsers send what happened later
    table=sl.Parquet("data/shown/"),
    closed="left",  # what is shown now is none of its own past
)
clicks = shown.where(shown.clicked)


@sl.feature_view(entity=user, source=shown, owner="recommendations", freshness="1h")
class User:
    """What a user likes: the same rows as an item's, by another key."""

    taste = clicks.embedding.mean("14d")
    taste_now = clicks.embedding.mean(last=5)
    likes = clicks.count("14d", by="category")
    clicks_14d = clicks.count("14d")
    seen_14d = shown.count("14d")
    seen_items = shown.item_id.distinct("3d")
    quiet_for = shown.since_last()


@sl.feature_view(entity=item, source=items, owner="catalogue")
class Item:
    """What an item is."""

    category = items.category.latest()
    price = items.price.latest()
    embedding = items.embedding.latest()


@sl.feature_view(entity=item, source=shown, owner="recommendations")
class Liked:
    """How an item is liked by everybody."""

    click_rate = clicks.count("7d") / shown.count("7d")
    shown_7d = shown.count("7d")
    clicked_1d = clicks.count("1d")


@sl.on_demand
class Pair:
    """A user and an item."""

    like_taste = User.taste.cosine(Item.embedding)
    like_now = User.taste_now.cosine(Item.embedding)
    liked_category = User.likes.get(Item.category, 0) / User.clicks_14d
    user_rate = User.clicks_14d / User.seen_14d


ranking_model = sl.FeatureService(
    "ranking_model",
    [
        Pair, Item.price, Liked, User.clicks_14d, User.seen_14d, User.quiet_for,
    ],
    description="Will the user click the item?",
    owner="recommendations",
)  # fmt: skip

taste = sl.Example(
    "taste is the mean of what was clicked, not of what was shown",
    of=User,
    rows=[
        {"user_id": "u", "item_id": i, "category": "toys", "embedding": [x] * 8, "clicked": click,
         "shown_at": "2026-01-01T10:00:00Z", "logged_at": "2026-01-01T10:05:00Z"}
        for i, x, click in (("1", 1.0, True), ("2", 9.0, False), ("3", 3.0, True))
    ],
    at="2026-01-01T11:00:00Z",
    expect={"taste": [2.0] * 8, "clicks_14d": 2, "seen_14d": 3},
)  # fmt: skip
