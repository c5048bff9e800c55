"""Events of OpenLineage (https://openlineage.io, spec 2-0-2) from what the ledger records. Pure.

| in the ledger | events |
|---|---|
| apply | a dataset event for each source and view, with schema, words and column lineage; a job event for each feature view. Static: nothing ran |
| materialize, backfill, rebuild states, compact | a run event at the start, one at the end |
| a training set | two run events; its output is the set, its version the id, its columns their lineage |

A dataset is a source (``pays``), a version of a view (``Spend@v1``), a training set or a file.
"""  # noqa: E501 - a table

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from skewless.clock import iso
from skewless.definitions import FeatureView, OnDemandView, Source
from skewless.definitions.references import split_reference
from skewless.ledger.lines import Record
from skewless.lineage.columns import Edge, How, view_edges
from skewless.plan.apply.registry_state import RegistryState
from skewless.version import __version__

Event = dict[str, Any]
PRODUCER = f"skewless://skewless/{__version__}"
_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
_FACETS = "https://openlineage.io/spec/facets/"
_VERSIONS = {
    "ColumnLineageDatasetFacet": "1-2-0", "DatasetVersionDatasetFacet": "1-0-1",
    "DocumentationDatasetFacet": "1-1-0", "ErrorMessageRunFacet": "1-0-1",
    "JobTypeJobFacet": "2-0-4", "NominalTimeRunFacet": "1-0-1",
    "OutputStatisticsOutputDatasetFacet": "1-0-2", "OwnershipDatasetFacet": "1-0-1",
    "ProcessingEngineRunFacet": "1-1-1", "SchemaDatasetFacet": "1-2-0",
    "SymlinksDatasetFacet": "1-0-1", "TagsDatasetFacet": "1-0-0",
}  # fmt: skip
JOBS = ("materialize", "backfill", "rebuild states", "compact")
"""The jobs of which run events are made."""
_ENDS = {"done": "COMPLETE", "interrupted": "ABORT"}
View = FeatureView | OnDemandView


class Events:
    """Makes events of one project.

    Args:
        project: names jobs and datasets: ``skewless://fab``.
    """

    def __init__(self, project: str) -> None:
        self.namespace = f"skewless://{project}"

    def of(self, record: Record, state: RegistryState) -> Iterator[Event]:
        """Yield the events for a record of the ledger.

        Args:
            record: of any kind; most give none.
            state: of the registry after it.
        """
        data = record.data
        if record.kind == "training_set":
            yield from self._training_set(record, state)
        elif record.kind == "run" and data["job"] == "apply" and data.get("status") == "done":
            yield from self._applied(record, state)
        elif record.kind == "run" and data["job"] in JOBS:
            yield self._run(record, state)

    # ----------------------------------------------------------------------------------- static

    def _applied(self, record: Record, state: RegistryState) -> Iterator[Event]:
        at = iso(record.at)
        for source in state.sources.values():
            yield _event("DatasetEvent", at, dataset=self._source(source))
        for name, version in state.fingerprints:
            view = state.view(name, version)
            dataset = self._view(view, version, state)
            yield _event("DatasetEvent", at, dataset=dataset)
            if isinstance(view, FeatureView):
                job = self._job(f"materialize.{name}@v{version}", "MATERIALIZE")
                inputs = [self._named(view.source.name)]
                yield _event("JobEvent", at, job=job, inputs=inputs, outputs=[dataset])

    def _source(self, source: Source) -> Event:
        facets = {"schema": _schema(source.columns, source.words)}
        facets |= _described(source.description, source.owner)
        tags = [
            {"key": "pii", "value": words.pii, "source": "skewless", "field": column}
            for column, words in source.words.items()
            if words.pii
        ]
        if tags:
            facets["tags"] = _facet("TagsDatasetFacet", tags=tags)
        table = None if source.table is None else source.table.to_dict()
        if table:
            place = str(table.get("path") or table.get("table") or source.name)
            link = {"namespace": str(table["kind"]), "name": place, "type": "TABLE"}
            facets["symlinks"] = _facet("SymlinksDatasetFacet", identifiers=[link])
        return self._named(source.name) | {"facets": facets}

    def _view(self, view: View, version: int, state: RegistryState) -> Event:
        fingerprint = state.fingerprints[view.name, version]
        facets = {
            "schema": _schema(view.dtypes, view.words),
            "version": _facet("DatasetVersionDatasetFacet", datasetVersion=fingerprint),
            "columnLineage": self._columns(view_edges(view, version)),
        }
        facets |= _described(view.labels["description"], view.labels["owner"])
        return self._named(f"{view.name}@v{version}") | {"facets": facets}

    def _columns(self, edges: Iterable[Edge]) -> Event:
        """Return the facet of column lineage for the outputs of some edges."""
        fields: dict[str, dict[tuple[str, str], list[How]]] = {}
        for edge in edges:
            inputs = fields.setdefault(edge.target.name.rpartition(":")[2], {})
            inputs.setdefault(self._field(edge), []).append(edge.how)
        return _facet(
            "ColumnLineageDatasetFacet",
            fields={
                name: {"inputFields": [self._input(*key, hows) for key, hows in inputs.items()]}
                for name, inputs in fields.items()
            },
        )

    def _field(self, edge: Edge) -> tuple[str, str]:
        """Return dataset and field of the input of an edge."""
        kind, name = edge.source.kind, edge.source.name
        if kind == "request":
            return "request", name
        dataset, _, field = name.rpartition("." if kind == "column" else ":")
        return dataset, field

    def _input(self, dataset: str, field: str, hows: Iterable[How]) -> Event:
        transformations = [
            {"type": how.type, "subtype": how.subtype, "description": how.description,
             "masking": False}
            for how in hows
        ]  # fmt: skip
        return self._named(dataset) | {"field": field, "transformations": transformations}

    # ------------------------------------------------------------------------------------- runs

    def _run(self, record: Record, state: RegistryState) -> Event:
        """Return the event of the start or the end of a job."""
        data, job = record.data, record.data["job"]
        began = "who" in data
        about = data["about"]
        facets: Event = {"processing_engine": _engine()}
        if about.get("start") is not None:
            end = {} if about.get("end") is None else {"nominalEndTime": iso(about["end"])}
            facets["nominalTime"] = _facet(
                "NominalTimeRunFacet", nominalStartTime=iso(about["start"]), **end
            )
        kind = "START" if began else _ENDS.get(data["status"], "FAIL")
        if kind == "FAIL":
            error = data.get("error") or {}
            message = str(error.get("what") or error.get("error") or "")
            facets["errorMessage"] = _facet(
                "ErrorMessageRunFacet", message=message, programmingLanguage="PYTHON"
            )
        inputs, outputs = self._touched(job, about, state)
        made = self._run_event(kind, record.at, data["run"], job, facets)
        return made | {"inputs": inputs, "outputs": outputs}

    def _touched(
        self, job: str, about: Mapping[str, Any], state: RegistryState
    ) -> tuple[list[Event], list[Event]]:
        """Return the datasets that a job reads and writes."""
        if job == "compact":
            names = [about["name"]] if about.get("name") else list(state.sources)
            return [self._named(name) for name in names], []
        asked = about.get("views")
        wanted = None if asked is None else {asked} if isinstance(asked, str) else set(asked)
        views = [
            (state.views[key], key[1])
            for key in state.views
            if wanted is None or {key[0], f"{key[0]}@v{key[1]}"} & wanted
        ]
        sources = dict.fromkeys(view.source.name for view, _ in views)
        outputs = [self._view(view, version, state) for view, version in views]
        return [self._named(name) for name in sources], outputs

    def _training_set(self, record: Record, state: RegistryState) -> Iterator[Event]:
        data = record.data
        views = dict.fromkeys(
            split_reference(reference)[:2] for reference in data["features"].values()
        )
        inputs = [self._versioned(name, version or 0, state) for name, version in views]
        if data["spine"]:
            inputs.append({"namespace": "file", "name": data["spine"]})
        output = self._named(f"training_set.{data['service'] or 'features'}") | {
            "facets": {
                "version": _facet("DatasetVersionDatasetFacet", datasetVersion=data["id"]),
                "columnLineage": self._set_columns(data, state),
            },
            "outputFacets": {
                "outputStatistics": _facet(
                    "OutputStatisticsOutputDatasetFacet", rowCount=data["rows"]
                )
            },
        }  # fmt: skip
        name, facets = f"{record.id}:{data['id']}", {"processing_engine": _engine()}
        ends: tuple[tuple[str, list[Event]], ...] = (("START", []), ("COMPLETE", [output]))
        for kind, outputs in ends:
            made = self._run_event(kind, record.at, name, "training set", facets)
            yield made | {"inputs": inputs, "outputs": outputs}

    def _versioned(self, name: str, version: int, state: RegistryState) -> Event:
        fingerprint = state.fingerprints[name, version]
        facet = _facet("DatasetVersionDatasetFacet", datasetVersion=fingerprint)
        return self._named(f"{name}@v{version}") | {"facets": {"version": facet}}

    def _set_columns(self, data: Mapping[str, Any], state: RegistryState) -> Event:
        """Return the lineage of a training set's features; of its spine, where that is a file."""
        fields: Event = {}
        for column, reference in data["features"].items():
            view, version, feature = split_reference(reference)
            whole = How("DIRECT", "IDENTITY", "point-in-time correct")
            inputs = [self._input(f"{view}@v{version}", feature, [whole])]
            if data["spine"]:
                found = state.view(view, version)
                keys = found.asked_entity.key_names if isinstance(found, FeatureView) else ()
                roles = {key: How("INDIRECT", "JOIN", "join key") for key in keys}
                roles[data["timestamp"]] = How("INDIRECT", "WINDOW", f"as of {data['as_of']}")
                spine = {"namespace": "file", "name": data["spine"]}
                inputs += [
                    self._input("", name, [how]) | spine
                    for name, how in roles.items()
                    if name in data["columns"]
                ]
            fields[column] = {"inputFields": inputs}
        return _facet("ColumnLineageDatasetFacet", fields=fields)

    def _run_event(self, kind: str, at: int, run: str, job: str, facets: Event) -> Event:
        run_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.namespace}/{run}"))
        made = _event("RunEvent", iso(at), eventType=kind, run={"runId": run_id, "facets": facets})
        return made | {"job": self._job(job.replace(" ", "_"), job.replace(" ", "_").upper())}

    def _job(self, name: str, kind: str) -> Event:
        facet = _facet(
            "JobTypeJobFacet", processingType="BATCH", integration="SKEWLESS", jobType=kind
        )
        return {"namespace": self.namespace, "name": name, "facets": {"jobType": facet}}

    def _named(self, name: str) -> Event:
        return {"namespace": self.namespace, "name": name}


def _event(kind: str, at: str, **fields: Any) -> Event:
    return {"eventTime": at, "producer": PRODUCER, "schemaURL": _SPEC + kind, **fields}


def _facet(kind: str, /, **fields: Any) -> Event:
    url = f"{_FACETS}{_VERSIONS[kind]}/{kind}.json#/$defs/{kind}"
    return {"_producer": PRODUCER, "_schemaURL": url, **fields}


def _engine() -> Event:
    return _facet("ProcessingEngineRunFacet", version=__version__, name="skewless")


def _schema(columns: Mapping[str, Any], words: Mapping[str, Any]) -> Event:
    fields = []
    for name, dtype in columns.items():
        field = {"name": name, "type": repr(dtype)}
        if name in words and words[name].description:
            field["description"] = words[name].description
        fields.append(field)
    return _facet("SchemaDatasetFacet", fields=fields)


def _described(description: str, owner: str) -> Event:
    facets = {}
    if description:
        facets["documentation"] = _facet("DocumentationDatasetFacet", description=description)
    if owner:
        facets["ownership"] = _facet("OwnershipDatasetFacet", owners=[{"name": owner}])
    return facets
