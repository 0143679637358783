"""The server.properties of a broker for development and tests.

Holds the choice of every setting, with its reason. It must not touch a disk or a process. The invariant: a
cluster listens on the loopback interface only, and creates no topic that nobody declared.
"""

import msgspec

_LOOPBACK = "127.0.0.1"


class NodeAddress(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a cluster: its id, the port that clients use and the port that controllers use."""

    node_id: int
    port: int
    controller_port: int

    @property
    def endpoint(self) -> str:
        """Where clients connect, as `host:port`."""
        return f"{_LOOPBACK}:{self.port}"


def server_properties(
    node: NodeAddress, cluster: tuple[NodeAddress, ...], *, log_folder: str, overrides: dict[str, str]
) -> str:
    """Return the text of server.properties for one node; `overrides` win over every setting made here."""
    replicas = min(3, len(cluster))
    in_sync = max(1, replicas - 1)
    voters = ",".join(f"{peer.node_id}@{_LOOPBACK}:{peer.controller_port}" for peer in cluster)
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://{node.endpoint},CONTROLLER://{_LOOPBACK}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.endpoint}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_folder,
        # A topic that nobody declared is a mistake that must show.
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        # The internal topics have 50 partitions as shipped, which is most of the start time of the first
        # group.
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": str(replicas),
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        # A group starts with whoever is there: as shipped, the first member waits 3 s for others.
        "group.initial.rebalance.delay.ms": "0",
        # Tests of a lost owner choose session timeouts below the 6 s that a broker accepts as shipped.
        "group.min.session.timeout.ms": "500",
        # A broker that comes back after SIGKILL is refused until its former session ends, and the partitions
        # of a dead one move only then: 3 s, not 9, since every test of a lost broker waits for this.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "300",
    }
    settings |= overrides
    return "".join(f"{name}={value}\n" for name, value in settings.items())
