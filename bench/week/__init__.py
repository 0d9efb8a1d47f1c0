"""What a team writes in a week when it needs calls to one SaaS app: FastAPI, httpx, SQLAlchemy. The benchmark's "week" row; no part of Polyport."""
