"""The other end of a node: keys, orders, and watching the fleet. Of the node it knows `agent.messages` only."""
