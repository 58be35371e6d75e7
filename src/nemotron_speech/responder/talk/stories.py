"""Short stories, long enough to be interrupted."""

from __future__ import annotations

STORIES: tuple[str, ...] = (
    "Here is a story about a lighthouse. On a rock far out at sea there stood an old lighthouse, and in "
    "it lived a keeper named Marta. Every evening she climbed one hundred and twelve steps and lit the "
    "lamp. One winter night the lamp would not burn. The oil had frozen, and a ship was already blowing "
    "its horn in the dark. Marta had no time to thaw the oil. So she carried her mirror up the stairs, "
    "and her candles, and her brass kettle, which she had polished every day for thirty years. She set "
    "the candles in front of the kettle, and the mirror behind them, and turned it slowly by hand. A "
    "thin beam of light went out over the water. The horn sounded once more, nearer now, and then "
    "turned away from the rock. In the morning a sailor rowed over to say thank you. He asked what kind "
    "of lamp could shine so softly. Marta pointed at the kettle, and put it on the fire, and they had "
    "tea. That is the end.",
    "Here is a story about a fox. A young fox lived at the edge of a town, and she was curious about "
    "the trains. Every night at ten a long train stopped at the little station, breathed for a minute, "
    "and left again. One night the fox slipped inside. The doors closed behind her. She sat down under "
    "a seat and watched the lights go by, first yellow, then white, then none at all. A boy with a red "
    "hat saw her, but he told nobody. He broke his sandwich in two and pushed one half across the "
    "floor. They travelled together through three tunnels and over a river. When the train stopped, the "
    "fox stepped out and smelled the air. It was the sea. She ran along the beach until the sun came "
    "up, and she chased every wave that dared to touch her feet. The next evening she waited at the "
    "platform, sandy and very tired. The train came at seven. Under the same seat lay half a sandwich. "
    "That is the end.",
    "Here is a story about a clock. In the middle of a village hung a clock that was always five "
    "minutes late. Nobody minded, because everybody knew it. The baker opened five minutes late, the "
    "school began five minutes late, and the bus driver waited, because he knew it too. One day a "
    "visitor came, looked at his watch, and shook his head. He climbed the tower with a small "
    "screwdriver and set the clock right. The next morning was terrible. The bread was not ready, the "
    "children ran, and the bus left without the teacher. In the evening the people met under the tower. "
    "They did not want to be rude to the visitor, so they thanked him and gave him a cake. But when it "
    "was dark the oldest woman of the village took the long stairs, one after the other. She turned the "
    "hand back by five minutes, sat down, and listened to it tick. From then on everybody was in good "
    "time again. That is the end.",
)
