"""Some orders, of which one is refused; run it twice: ``python -m examples.orders orders.db``."""

import sys

from examples.orders.agents import AGENTS, Order, Stock
from perdure import AgentSystem

store = sys.argv[1] if len(sys.argv) > 1 else "memory://"
with AgentSystem.open(store, agents=AGENTS) as system:
    book = system.agent(Stock, "book")
    print("books:", book.call(Stock.fill_up, 3).get())
    begun = system.agents.count("Order")
    names = [f"o-{begun + number}" for number in (1, 2, 3)]
    for name, count in zip(names, (1, 2, 9), strict=True):
        system.agent(Order, name).call(Order.place, "book", count, 1999 * count).get()
    system.idle()
    for name in names:
        print(name, *system.agent(Order, name).call(Order.status).get())
