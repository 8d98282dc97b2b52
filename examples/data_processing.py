"""Fetch a data set, process it in ten parallel chunks, aggregate: each by an agent of its own.

Run it with local processes as agents, from the folder above:

    AGENTAINER_RUNTIME=process AGENTAINER_AGENTS=examples/agents python examples/data_processing.py

or in containers, once `examples/agents/build` has made the images:

    python examples/data_processing.py
"""

import json

from agentainer_flow import workflow, step, parallel

@workflow(name="data_processing_pipeline")
class DataProcessingWorkflow:
    
    @step(name="fetch_data")
    def fetch_data(self, context):
        # Deploy agent to fetch data
        agent = context.deploy_agent(
            name="data_fetcher",
            image="data-fetcher:latest",
            env={"SOURCE": "s3://bucket/data"}
        )
        result = agent.wait()
        context.state["raw_data_path"] = result["output_path"]
        return result
    
    @step(name="process_data", depends_on=["fetch_data"])
    @parallel(max_workers=5)
    def process_data(self, context, chunk_id):
        # This step will run in parallel for each chunk
        agent = context.deploy_agent(
            name=f"processor_{chunk_id}",
            image="data-processor:latest",
            env={
                "INPUT": context.state["raw_data_path"],
                "CHUNK": str(chunk_id)
            }
        )
        return agent.wait()
    
    @step(name="aggregate_results", depends_on=["process_data"])
    def aggregate_results(self, context, process_results):
        # Fan-in: aggregate results from parallel processing
        agent = context.deploy_agent(
            name="aggregator",
            image="aggregator:latest",
            env={"RESULTS": json.dumps(process_results)}
        )
        final_result = agent.wait()
        context.state["final_output"] = final_result["output_path"]
        return final_result

# Usage
if __name__ == "__main__":
    wf = DataProcessingWorkflow()
    print(json.dumps(wf.run(chunks=10)))  # Process data in 10 parallel chunks
